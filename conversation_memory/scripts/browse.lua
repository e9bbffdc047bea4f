-- For the admin: a page of a recency index by number, of all or of a span of time.
-- KEYS  recency index
-- ARGV  offset, limit, since ('' any), until ('' any, exclusive), 'oldest' to number the oldest first
-- Returns the number of conversations in the span, and the ids of the page.
local order, offset, limit, oldest = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[5]
local since, before = ARGV[3], ARGV[4]
local count = redis.call('ZCOUNT', order, since == '' and '-inf' or since,
  before == '' and '+inf' or '(' .. before)
local last = math.min(offset + limit, count)
if last <= offset then return {count, {}} end
-- By rank, after those outside of the span: ZRANGEBYSCORE with LIMIT would walk through the offset.
if oldest == 'oldest' then
  local older = since == '' and 0 or redis.call('ZCOUNT', order, '-inf', '(' .. since)
  return {count, redis.call('ZRANGE', order, older + offset, older + last - 1)}
end
local newer = before == '' and 0 or redis.call('ZCOUNT', order, before, '+inf')
return {count, redis.call('ZREVRANGE', order, newer + offset, newer + last - 1)}
