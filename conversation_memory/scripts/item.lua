-- needs: common
-- Put an item into a namespace of a store, or delete it.
-- KEYS  items of the namespace, namespaces, content
-- ARGV  namespace, key, text ('' deletes), how long it is kept (ms, 0 for ever), 1 if items are encrypted
-- Returns 1, or {'sealed', key} for an alias that has no key for the item there is.
-- An item is 'created updated lifetime deadline text', times in ms and 0 for none.
local items, namespaces = unpack(KEYS)
redis.call('HLEN', KEYS[3])  -- fails in a shard that is closed
local namespace, key, text, lifetime, seals = unpack(ARGV)
redis.call('ZCARD', namespaces)
local now, before = clock(), redis.call('HGET', items, key)
local sealed = seals ~= '1' and (before or ''):match('^%d+ %d+ %d+ %d+ cm1%.([%w_-]+)%.')
if sealed then return {'sealed', sealed} end
if text == '' then
  redis.call('HDEL', items, key)
  if redis.call('EXISTS', items) == 0 then redis.call('ZREM', namespaces, namespace) end
  return 1
end
local created, _, _, deadline = (before or ''):match('^(%d+) (%d+) (%d+) (%d+) ')
if not created or deadline ~= '0' and tonumber(deadline) <= now then created = now end
deadline = lifetime == '0' and 0 or now + lifetime
redis.call('ZADD', namespaces, 0, namespace)
redis.call('HSET', items, key,
  string.format('%.0f %.0f %s %.0f ', created, now, lifetime, deadline) .. text)
if deadline > 0 then redis.pcall('HPEXPIREAT', items, deadline, 'FIELDS', 1, key) end
return 1
