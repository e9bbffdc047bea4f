-- What stands beside the content of some conversations, and how large that is.
--
-- KEYS  content, recent, then record and runs of each
-- ARGV  id of each
-- Returns for each {length of the field (-1 none), elements of the list, place in the order, owner,
-- title, created, updated, ttl, expires, version, seal, bytes, whether a key has another type}. Such a
-- key counts as not there: it costs only what it holds.
local found = {}
for i, id in ipairs(ARGV) do
  local record = redis.pcall('HMGET', KEYS[2 * i + 1],
    'owner', 'title', 'created', 'updated', 'ttl', 'expires', 'version', 'seal', 'bytes')
  local mistyped = record.err and 1 or 0
  if record.err then record = {false, false, false, false, false, false, false, false, false} end
  local size = redis.call('HSTRLEN', KEYS[1], id)
  if size == 0 and redis.call('HEXISTS', KEYS[1], id) == 0 then size = -1 end
  local length = redis.pcall('LLEN', KEYS[2 * i + 2])
  if type(length) ~= 'number' then length, mistyped = 0, 1 end
  record[10] = mistyped
  found[i] = {size, length, redis.call('ZSCORE', KEYS[2], id), unpack(record, 1, 10)}
end
return found
