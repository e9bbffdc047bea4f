-- needs: common
-- How many conversations there are, of all or of one owner, without expired ones.
-- KEYS  content, expiry [, order of the owner]
if KEYS[3] then
  local ids = redis.call('ZRANGE', KEYS[3], 0, -1)
  local count, deadlines = #ids, redis.call('EXISTS', KEYS[2]) == 1
  for _, id in ipairs(deadlines and ids or {}) do
    local deadline = tonumber(redis.call('ZSCORE', KEYS[2], id))
    if deadline and deadline <= clock() then count = count - 1 end
  end
  return count
end
local count, many = redis.call('HLEN', KEYS[1]), redis.call('ZCOUNT', KEYS[2], '-inf', clock())
if many == 0 then return count end
-- For a moment, HLEN counts fields whose deadline has passed. HKEYS does not, but costs more.
if count <= 1000 then count = #redis.call('HKEYS', KEYS[1]) end
-- A server that lets fields expire has dropped them, unless another program has written over them
-- since; any other one counts all. Of very many, the reaper being far behind, a part tells.
local due, kept = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', clock(), 'LIMIT', 0, 1000), 0
for _, id in ipairs(due) do kept = kept + redis.call('HEXISTS', KEYS[1], id) end
return count - math.floor(kept / #due * many + 0.5)
