-- A page of an order by its number, newest first, of all or of a span of times.
--
-- KEYS  order
-- ARGV  how many to leave out, limit, since ('' any), until ('' any, exclusive)
-- Returns how many there are in the span, and the ids of the page.
local order, offset, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local since = ARGV[3] == '' and '-inf' or ARGV[3]
local newer, count = 0, redis.call('ZCARD', order)
if ARGV[3] ~= '' or ARGV[4] ~= '' then
  -- By ranks: ZRANGEBYSCORE would step over all that is left out.
  if ARGV[4] ~= '' then newer = redis.call('ZCOUNT', order, ARGV[4], '+inf') end
  count = redis.call('ZCOUNT', order, since, ARGV[4] == '' and '+inf' or '(' .. ARGV[4])
end
local last = math.min(offset + limit, count)
if last <= offset then return {count, {}} end
return {count, redis.call('ZREVRANGE', order, newer + offset, newer + last - 1)}
