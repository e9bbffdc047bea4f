-- needs: common
-- Stands before the scripts on one open run. They take behind all other keys
--   open runs of the conversation, list of open runs, chunks of this one
-- and behind all other arguments the run id and the name of the reply in the list.
-- An open run has two fields: its question, and its state, of which the text is
--   status, time of the question, of the last change and end of the lease (ms), how often it was
--   claimed, token of the claim (before the first one, that of the question), reason as JSON
-- Of a run that is settled, the state is kept as long as its chunks. The id of a chunk is the number
-- of the claim and that of the chunk: one that is sent again is known by it.
local reply, run = table.remove(ARGV), table.remove(ARGV)
local open, opened, chunks = KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS]
local QUESTION, STATE = 'question:' .. run, 'state:' .. run
local KEPT = 300000  -- how long chunks are kept behind the end, in ms
local LAST = 999999999  -- the number of the outcome, behind all chunks

local function state_of(text)
  local status, begun, changed, lease, claims, token, reason =
    (text or ''):match('^(%a+) (%d+) (%d+) (%d+) (%d+) (%S+) (.*)$')
  return status and {
    status = status, begun = begun, changed = changed, lease = tonumber(lease),
    claims = tonumber(claims), token = token, reason = reason,
  }
end

local function read()
  local question, text = unpack(redis.call('HMGET', open, QUESTION, STATE))
  return state_of(text), question
end

local function text_of(state)
  return string.format('%s %s %s %.0f %d %s %s', state.status, state.begun, state.changed,
    state.lease, state.claims, state.token, state.reason)
end

local function keep(state)
  redis.call('HSET', open, STATE, text_of(state))
end

local function newest()
  local entry = redis.call('XREVRANGE', chunks, '+', '-', 'COUNT', 1)[1]
  return entry and entry[1] or '0-0'
end

-- Add an entry to the stream, unless it is there already.
local function add(state, number, ...)
  local claim, last = newest():match('^(%d+)-(%d+)$')
  claim, last = tonumber(claim), tonumber(last)
  if claim < state.claims or claim == state.claims and last < number then
    redis.call('XADD', chunks, string.format('%d-%d', state.claims, number), ...)
  end
end
