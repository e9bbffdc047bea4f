-- Take out of the orders what is gone: past its deadline, or its field was deleted by someone.
--
-- KEYS  ... [, order in which the conversation was found], last
-- ARGV  id, owner, owner of that order ('' none)
-- Returns whether it was gone.
local gone = not alive()
if gone then forget() end
if ARGV[3] ~= '' and (redis.call('HGET', record, 'owner') or '') ~= ARGV[3] then
  redis.call('ZREM', KEYS[#KEYS], id)
end
return gone and 1 or 0
