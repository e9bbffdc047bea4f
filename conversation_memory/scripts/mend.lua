-- needs: conversation
--
-- Write what the record and the orders derive from the content, if that is unchanged since it was read.
-- Owner, title, times and content stay as they are.
--
-- ARGV  id, owner, version ('' any), length ('' any, -1 absent), SHA-1 ('' any), length of the list,
--       then fields of the record and their values
-- Returns whether it was.
local stored = open()
if refusal(stored) or not stored.exists or difference(stored) then return 0 end
if redis.call('LLEN', runs) ~= tonumber(ARGV[6]) then return 0 end

local score = stored.updated or tonumber(redis.call('ZSCORE', recent, id) or nil) or clock()
redis.call('ZADD', recent, score, id)
if owned then redis.call('ZADD', owned, score, id) end
if stored.expires then
  redis.call('ZADD', expiry, stored.expires, id)
else
  redis.call('ZREM', expiry, id)
end
-- No version: where there is none, the record was lost, and erase.lua asks the orders of the owners.
if #ARGV > 6 then redis.call('HSET', record, unpack(ARGV, 7)) end
return 1
