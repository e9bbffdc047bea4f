-- needs: replies
-- Stands before a script on a conversation: what it writes is the output of an open run, which it
-- settles with its answer; or settle.lua does, without an output. The last arguments before those
-- of replies.lua are
--   token of the claim, or while nobody has claimed it of the question ('' for anyone), status that
--   it gets, reason as JSON, number of the last chunk and its text ('' for none), 1 if it stands
--   for all chunks before, id of the chunk that must be the last one ('' for any)
-- Refuses with {'reply', why}: 'repeated' if just this was done before, 'moved' if there are more
-- chunks, 'changed' if it has another question, 'absent', or the status that the run has by another
-- caller.
local last, anew, text, number = table.remove(ARGV), table.remove(ARGV), table.remove(ARGV),
  table.remove(ARGV)
number = tonumber(number)
local reason, status, token = table.remove(ARGV), table.remove(ARGV), table.remove(ARGV)
local state, question  -- read by enter()

local function unsettled()
  redis.call('ZCARD', opened)  -- fails on a key of another type
  if not state then return {'reply', 'absent'} end
  -- The token of a question is known to all who have read it.
  local is_own = token == '' or token == state.token and state.claims > 0
  if state.status == status and is_own then
    keep(state)  -- WAIT waits only for a call that writes
    return {'reply', 'repeated'}
  end
  local is_held = state.status == 'claimed' or state.claims == 0
  if question and token ~= '' and token ~= state.token and state.claims == 0 then
    return {'reply', 'changed'}
  end
  if not question or token ~= '' and (token ~= state.token or not is_held) then
    return {'reply', state.status}
  end
  local before = newest()  -- fails on a key of another type too
  if last ~= '' and before ~= last then return {'reply', 'moved'} end
end

-- Keep only the state, for as long as the chunks; the run is in the conversation, or given up.
local function close()
  redis.call('HDEL', open, QUESTION)
  redis.call('ZREM', opened, reply)
  redis.call('PEXPIRE', chunks, KEPT)
  local cursor, questions = '0'
  repeat
    cursor, questions = unpack(redis.call('HSCAN', open, cursor, 'MATCH', 'question:*', 'COUNT', MANY))
    if #questions > 0 then return end
  until cursor == '0'
  redis.call('PEXPIRE', open, KEPT)
end

local function settle(is_closed)
  if anew == '1' then add(state, number, 'k', 'restart') end
  if text ~= '' then add(state, number + anew, 't', text) end
  state.status, state.reason, state.changed = status, reason, string.format('%.0f', clock())
  -- An outcome may follow another one of the same claim, such as a cancel a failure.
  local claim, before = newest():match('^(%d+)-(%d+)$')
  local ending = tonumber(claim) == state.claims and math.max(LAST, before + 1) or LAST
  add(state, ending, 'k', status, 't', reason)
  keep(state)
  if is_closed then close() end
end

local entered, answered = enter, answer
local function enter()
  local stored, refused = entered()
  if not refused then state, question = read() end
  return stored, refused or unsettled()
end

local function answer(value)
  settle(true)
  return answered(value)
end
