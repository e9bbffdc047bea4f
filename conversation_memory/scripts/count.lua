-- needs: common
-- How many conversations there are, of all or of one owner, without expired ones.
-- KEYS  content, expiry [, order of the owner]
local content, expiry, owned = KEYS[1], KEYS[2], KEYS[3]
local FEW = 1000  -- that may be looked at one by one
local time = clock()
local count = owned and redis.call('ZCARD', owned) or redis.call('HLEN', content)
local many = redis.call('ZCOUNT', expiry, '-inf', time)
if many == 0 or count == 0 then return count end
if owned and count <= FEW then
  for _, deadline in ipairs(redis.call('ZMSCORE', expiry, unpack(redis.call('ZRANGE', owned, 0, -1)))) do
    if deadline and tonumber(deadline) <= time then count = count - 1 end
  end
  return count
end
-- For a moment, HLEN counts fields whose deadline has passed. HKEYS does not, but costs more.
if count <= FEW then count = #redis.call('HKEYS', content) end
-- Of the due ones, those that are still counted: all of the owner; of the index those of a server
-- that lets no fields expire, and those that another program has written over since. Of very many,
-- the reaper being far behind, a part tells.
local due, counted = redis.call('ZRANGEBYSCORE', expiry, '-inf', time, 'LIMIT', 0, FEW), 0
if owned then
  for _, score in ipairs(redis.call('ZMSCORE', owned, unpack(due))) do
    if score then counted = counted + 1 end
  end
else
  for _, id in ipairs(due) do counted = counted + redis.call('HEXISTS', content, id) end
end
return count - math.floor(counted / #due * many + 0.5)
