-- The items of a namespace that were put last.
-- KEYS  items of the namespace, times of the items
-- ARGV  how many
-- Returns keys and items in turn, as HGETALL does; nil for an item that Redis has deleted. All items
-- if the times of some are missing.
local items, times = unpack(KEYS)
if redis.call('ZCARD', times) < redis.call('HLEN', items) then
  return redis.call('HGETALL', items)
end
local found = {}
for _, key in ipairs(redis.call('ZREVRANGE', times, 0, ARGV[1] - 1)) do
  found[#found + 1] = key
  found[#found + 1] = redis.call('HGET', items, key)
end
return found
