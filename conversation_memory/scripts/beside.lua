-- needs: tolerant
--
-- What stands beside the content of some conversations, and how large that is.
--
-- KEYS  content, recent, then record and runs of each
-- ARGV  id of each
-- Returns for each {length of the field (-1 none), elements of the list, place in the order, owner,
-- title, created, updated, ttl, expires, version, seal, bytes, whether a key has another type}. Such a
-- key counts as not there: it costs only what it holds.
local found = {}
for i, id in ipairs(ARGV) do
  local record = tolerant('HMGET', KEYS[2 * i + 1],
    'owner', 'title', 'created', 'updated', 'ttl', 'expires', 'version', 'seal', 'bytes')
  local length = tolerant('LLEN', KEYS[2 * i + 2])
  local mistyped = not (record and length)
  record = record or {false, false, false, false, false, false, false, false, false}
  local size = redis.call('HSTRLEN', KEYS[1], id)
  if size == 0 and redis.call('HEXISTS', KEYS[1], id) == 0 then size = -1 end
  record[10] = mistyped and 1 or 0
  found[i] = {size, length or 0, redis.call('ZSCORE', KEYS[2], id), unpack(record, 1, 10)}
end
return found
