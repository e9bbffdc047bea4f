-- needs: common
--
-- How many conversations there are, of all or of one owner, without expired ones.
--
-- KEYS  content, expiry [, order of the owner]
if KEYS[3] then
  local ids = redis.call('ZRANGE', KEYS[3], 0, -1)
  local count = #ids
  if redis.call('EXISTS', KEYS[2]) == 1 then
    for _, id in ipairs(ids) do
      local deadline = tonumber(redis.call('ZSCORE', KEYS[2], id))
      if deadline and deadline <= clock() then count = count - 1 end
    end
  end
  return count
end
local count = redis.call('HLEN', KEYS[1])
-- A server that lets fields expire has dropped them, unless another program has written over them
-- since; any other one counts all. Of very many, the reaper being far behind, a part tells.
local MOST = 1000
local many = redis.call('ZCOUNT', KEYS[2], '-inf', clock())
if many == 0 then return count end
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', clock(), 'LIMIT', 0, MOST)
local kept = 0
for _, id in ipairs(due) do kept = kept + redis.call('HEXISTS', KEYS[1], id) end
if many > #due then kept = math.floor(kept / #due * many + 0.5) end
return count - kept
