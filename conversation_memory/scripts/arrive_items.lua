-- needs: common
-- Take in the items of an owner from another shard, which are here under other names.
-- KEYS  namespaces of the owner, what has arrived, content, then of each namespace the key to
--       rename, its name, and that of the times of its items
-- ARGV  what stands for the owner among what has arrived, then the namespaces
-- Returns 1, 0 if they arrived before, -1 if there are some, -2 if a key to rename has expired.
local namespaces, arrived, content = unpack(KEYS, 1, 3)
redis.call('HLEN', content)  -- fails in a shard that is closed
if redis.call('TYPE', arrived).ok == 'string' or redis.call('SISMEMBER', arrived, ARGV[1]) == 1 then
  for i = 4, #KEYS, 3 do redis.call('UNLINK', KEYS[i]) end
  return 0
end
if redis.call('EXISTS', namespaces) == 1 then return -1 end
for i = 4, #KEYS, 3 do
  if redis.call('EXISTS', KEYS[i]) == 0 then return -2 end
end
for i = 4, #KEYS, 3 do
  redis.call('PERSIST', KEYS[i])
  redis.call('RENAME', KEYS[i], KEYS[i + 1])
  redis.call('ZADD', namespaces, 0, ARGV[(i + 2) / 3])
  local items = redis.call('HGETALL', KEYS[i + 1])
  for j = 1, #items, 2 do
    local updated = number(items[j + 1]:match('^%d+ (%d+) '))
    if updated then redis.call('ZADD', KEYS[i + 2], updated, items[j]) end
  end
end
redis.call('SADD', arrived, ARGV[1])
return 1
