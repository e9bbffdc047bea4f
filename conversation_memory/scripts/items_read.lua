-- needs: common
-- Items of a store were read: those with a lifetime live on, and those past it are deleted.
-- KEYS  items of the namespace, namespaces, content, times of the items
-- ARGV  namespace, then keys
local items, namespaces, _, times = unpack(KEYS)
redis.call('HLEN', KEYS[3])  -- fails in a shard that is closed
redis.call('ZCARD', namespaces)
redis.call('ZCARD', times)
local now = clock()
for i = 2, #ARGV do
  local key = ARGV[i]
  local item = redis.call('HGET', items, key)
  if not item then redis.call('ZREM', times, key) end
  item = item or ''
  local created, updated, lifetime, deadline, rest = item:match('^(%d+) (%d+) (%d+) (%d+)() ')
  if deadline and deadline ~= '0' then
    if tonumber(deadline) <= now then
      redis.call('HDEL', items, key)
      redis.call('ZREM', times, key)
    else
      deadline = now + lifetime
      redis.call('HSET', items, key, string.format('%s %s %s %.0f', created, updated, lifetime,
        deadline) .. item:sub(rest))
      redis.pcall('HPEXPIREAT', items, deadline, 'FIELDS', 1, key)
    end
  end
end
if redis.call('EXISTS', items) == 0 then
  redis.call('ZREM', namespaces, ARGV[1])
  redis.call('UNLINK', times)
end
return 1
