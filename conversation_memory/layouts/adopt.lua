-- Put conversations that others wrote into the order, as of now: the time of their last write is
-- not known.
--
-- KEYS  content, recent
-- ARGV  ids
-- Returns how many were not in it.
local now = redis.call('TIME')
local score = now[1] * 1000 + math.floor(now[2] / 1000)
local adopted = 0
for _, id in ipairs(ARGV) do
  if redis.call('HEXISTS', KEYS[1], id) == 1 then
    adopted = adopted + redis.call('ZADD', KEYS[2], 'NX', score, id)
  end
end
return adopted
