-- needs: tolerant
--
-- What there is of some conversations, whatever types their keys have.
--
-- KEYS  content, an order, then record and runs of each
-- ARGV  id of each
-- Returns for each {whether its field exists, type of the record, type of the runs, owner ('' none),
-- whether a writer of ours has left a record, whether its deadline is past, whether it is in the
-- order, bytes to read}.
local function type_of(key)
  return redis.call('TYPE', key).ok
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local found = {}
for i, id in ipairs(ARGV) do
  local record, runs = KEYS[2 * i + 1], KEYS[2 * i + 2]
  local kind, list = type_of(record), type_of(runs)
  local known = kind == 'hash' and redis.call('HMGET', record, 'owner', 'expires', 'bytes', 'version') or {}
  local deadline = number(known[2])
  local size = redis.call('HSTRLEN', KEYS[1], id)
  if list == 'list' then size = size + (number(known[3]) or 0) end
  found[i] = {
    redis.call('HEXISTS', KEYS[1], id), kind, list, known[1] or '', known[4] and 1 or 0,
    deadline and deadline <= now and 1 or 0,
    redis.call('ZSCORE', KEYS[2], id) and 1 or 0, size,
  }
end
return found
