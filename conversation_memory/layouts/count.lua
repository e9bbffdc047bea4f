-- How many conversations there are, of all or of one owner, without those past their deadline.
--
-- KEYS  content, expiry [, order of the owner]
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

if KEYS[3] then
  local ids = redis.call('ZRANGE', KEYS[3], 0, -1)
  local count = #ids
  if redis.call('EXISTS', KEYS[2]) == 1 then
    for _, id in ipairs(ids) do
      local deadline = tonumber(redis.call('ZSCORE', KEYS[2], id))
      if deadline and deadline <= now() then count = count - 1 end
    end
  end
  return count
end
local count = redis.call('HLEN', KEYS[1])
if redis.call('EXISTS', KEYS[2]) == 0 then return count end
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now(), 'LIMIT', 0, 1)[1]
-- A server that lets fields expire does not count them, but for a moment; any other one does.
if due and redis.call('HEXISTS', KEYS[1], due) == 1 then
  count = count - redis.call('ZCOUNT', KEYS[2], '-inf', now())
end
return count
