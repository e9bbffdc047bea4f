-- needs: tolerant
--
-- How much there is of some conversations.
--
-- KEYS  content, then record and runs of each
-- ARGV  id of each
-- Returns for each, one behind the other: length of the field (-1 none), bytes in the list (-1 none),
-- how many keys beside the field there are. A key of another type counts there, and has no bytes.
local sizes = {}
for i, id in ipairs(ARGV) do
  local record, runs = KEYS[2 * i], KEYS[2 * i + 1]
  local size = redis.call('HSTRLEN', KEYS[1], id)
  if size == 0 and redis.call('HEXISTS', KEYS[1], id) == 0 then size = -1 end
  local list = tolerant('LLEN', runs) or 0
  if list == 0 then
    list = -1
  else
    list = math.max(list, number(tolerant('HGET', record, 'bytes')) or 0)
  end
  local n = #sizes
  sizes[n + 1], sizes[n + 2], sizes[n + 3] = size, list, redis.call('EXISTS', record, runs)
end
return sizes
