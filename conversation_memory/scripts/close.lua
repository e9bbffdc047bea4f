-- needs: common
-- Close a shard that everything leaves: its hash gets another name, and a string stands in its
-- place, on which every script and every other program fails.
-- KEYS  hash, hash that is leaving
-- ARGV  the string
-- Returns 1, or 0 if another program has written a hash since.
local index, leaving = unpack(KEYS)
if redis.call('TYPE', index).ok == 'hash' then
  if redis.call('EXISTS', leaving) == 1 then return 0 end
  redis.call('RENAME', index, leaving)
end
redis.call('SET', index, ARGV[1])
return 1
