-- What is stored of a conversation, in one reply.
-- KEYS  content, record, runs
-- ARGV  id, most bytes of a reply, first and last index of the list, 1 with the field, fields of the
--       record, of which the last is 'bytes'
-- Returns {values of the fields, bytes of the field (-1 without one), length of the list, part of
-- the list, field}; without the last two if they are too long: Lua is slow at copying.
local content, record, runs = unpack(KEYS)
local id, most = ARGV[1], tonumber(ARGV[2])
local values = redis.call('HMGET', record, unpack(ARGV, 6))
local size, length = redis.call('HSTRLEN', content, id), redis.call('LLEN', runs)
if size == 0 and redis.call('HEXISTS', content, id) == 0 then size = -1 end
local reply, bytes = {values, size, length}, tonumber(values[#values] or nil)
local share = math.min(1, (ARGV[4] - ARGV[3] + 1) / math.max(length, 1))
if tonumber(ARGV[4]) < 0 and tonumber(ARGV[3]) >= 0 then share = 1 end
if length > 0 and not bytes or size + (bytes or 0) * share > most then return reply end
reply[4] = redis.call('LRANGE', runs, ARGV[3], ARGV[4])
reply[5] = ARGV[5] == '1' and redis.call('HGET', content, id)
return reply
