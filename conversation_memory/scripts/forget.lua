-- needs: conversation
-- Remove an expired or deleted conversation from the orders, or correct the deadline of another.
-- KEYS  ... [, order in which the conversation was found], last
-- ARGV  id, owner, owner of that order ('' none)
-- Returns 1 if it was removed, its token if search documents are left, else 0.
local stored = open()
local left = nil
if stored.exists then list_deadline(stored.expires) else left = forget() end
if ARGV[3] ~= '' and (not stored.exists or stored.owner ~= ARGV[3]) then
  redis.call('ZREM', KEYS[#KEYS], id)
  if redis.call('EXISTS', KEYS[#KEYS]) == 0 then redis.call('HDEL', root .. 'owners', ARGV[3]) end
end
return stored.exists and 0 or left or stored.left or 1
