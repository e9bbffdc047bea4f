-- needs: common
-- Put an item into a namespace of a store, or delete it.
-- KEYS  items of the namespace, namespaces, content, times of the items
-- ARGV  namespace, key, text ('' deletes), how long it is kept (ms, 0 for ever), 1 if items are encrypted
-- Returns 1, or {'sealed', key} for an alias that has no key for the item there is.
-- An item is 'created updated lifetime deadline text', times in ms and 0 for none.
local items, namespaces, _, times = unpack(KEYS)
redis.call('HLEN', KEYS[3])  -- fails in a shard that is closed
local namespace, key, text, lifetime, seals = unpack(ARGV)
redis.call('ZCARD', namespaces)
redis.call('ZCARD', times)
local now, before = clock(), redis.call('HGET', items, key)
local sealed = seals ~= '1' and (before or ''):match('^%d+ %d+ %d+ %d+ cm1%.([%w_-]+)%.')
if sealed then return {'sealed', sealed} end
if text == '' then
  redis.call('HDEL', items, key)
  redis.call('ZREM', times, key)
  if redis.call('EXISTS', items) == 0 then
    redis.call('ZREM', namespaces, namespace)
    redis.call('UNLINK', times)
  end
  return 1
end
local created, _, _, deadline = (before or ''):match('^(%d+) (%d+) (%d+) (%d+) ')
if not created or deadline ~= '0' and tonumber(deadline) <= now then created = now end
deadline = lifetime == '0' and 0 or now + lifetime
redis.call('ZADD', namespaces, 0, namespace)
redis.call('HSET', items, key,
  string.format('%.0f %.0f %s %.0f ', created, now, lifetime, deadline) .. text)
if deadline > 0 then redis.pcall('HPEXPIREAT', items, deadline, 'FIELDS', 1, key) end
redis.call('ZADD', times, now, key)
-- Redis deletes fields at their deadline, but not their times, or it cannot. Each put deletes those
-- of a few at random: it adds one, and more of them leave if many are past.
if deadline > 0 or redis.call('ZCARD', times) > redis.call('HLEN', items) then
  for _, other in ipairs(redis.call('ZRANDMEMBER', times, 8)) do
    local ends = (redis.call('HGET', items, other) or '0 0 0 1 '):match('^%d+ %d+ %d+ ([1-9]%d*) ')
    if ends and tonumber(ends) <= now then
      redis.call('HDEL', items, other)
      redis.call('ZREM', times, other)
    end
  end
end
return 1
