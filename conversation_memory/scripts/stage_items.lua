-- needs: common
-- Keep items of a namespace for arrive_items.lua.
-- KEYS  the key to be renamed
-- ARGV  how long they are kept, in ms, then keys and items
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  local deadline = ARGV[i + 1]:match('^%d+ %d+ %d+ ([1-9]%d*) ')
  if deadline then redis.pcall('HPEXPIREAT', KEYS[1], deadline, 'FIELDS', 1, ARGV[i]) end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
