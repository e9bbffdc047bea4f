-- Take out of the orders what is gone: past its deadline, or its field was deleted by someone.
--
-- KEYS  ... [, order in which the conversation was found], last
-- ARGV  id, owner, owner of that order ('' none)
-- Returns whether it was gone.
local stored = open()
if not stored.exists then forget() end
if ARGV[3] ~= '' and (not stored.exists or stored.owner ~= ARGV[3]) then
  redis.call('ZREM', KEYS[#KEYS], id)
end
return stored.exists and 0 or 1
