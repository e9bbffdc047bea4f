-- Delete a conversation: its document and everything that goes with it.
--
-- ARGV  id, owner
-- Returns 1 if there was one, 0 if not, or {'owner', its owner} if that is another.
local stored = open()
if is_foreign(stored) then return {'owner', stored.owner} end
redis.call('HDEL', content, id)
forget()
return stored.exists and 1 or 0
