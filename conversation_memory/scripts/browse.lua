-- For the admin: a page of a recency index by number, newest first, of all or of a span of time.
-- KEYS  recency index
-- ARGV  offset, limit, since ('' any), until ('' any, exclusive)
-- Returns the number of conversations in the span, and the ids of the page.
local order, offset, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local since = ARGV[3] == '' and '-inf' or ARGV[3]
-- By rank: ZRANGEBYSCORE with LIMIT would walk through the whole offset.
local newer = ARGV[4] == '' and 0 or redis.call('ZCOUNT', order, ARGV[4], '+inf')
local count = redis.call('ZCOUNT', order, since, ARGV[4] == '' and '+inf' or '(' .. ARGV[4])
local last = math.min(offset + limit, count)
if last <= offset then return {count, {}} end
return {count, redis.call('ZREVRANGE', order, newer + offset, newer + last - 1)}
