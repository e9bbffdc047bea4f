-- Take a conversation out of the orders if its document is gone: someone deleted the field.
--
-- KEYS  content, record, recent [, order of the owner]
-- ARGV  id
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
redis.call('DEL', KEYS[2])
for i = 3, #KEYS do redis.call('ZREM', KEYS[i], ARGV[1]) end
return 1
