-- Behind restore.lua and the HSETNX of the same MULTI: take back what it refused, and let what has a
-- deadline expire with its field.
--
-- KEYS  content, refused, then runs of each
-- ARGV  of each id and deadline, of those that have one
for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do redis.call('HDEL', KEYS[1], id) end
redis.call('DEL', KEYS[2])
for i = 1, #ARGV, 2 do
  redis.pcall('HPEXPIREAT', KEYS[1], ARGV[i + 1], 'FIELDS', 1, ARGV[i])
  redis.pcall('PEXPIREAT', KEYS[(i + 1) / 2 + 2], ARGV[i + 1])
end
return 0
