-- Delete a conversation: its document and everything that goes with it.
--
-- ARGV  id, owner
-- Returns 1 if there was one, 0 if not, or {'owner', its owner} if that is another.
local exists = alive()
local other = other_owner(exists)
if other then return {'owner', other} end
redis.call('HDEL', content, id)
forget()
return exists and 1 or 0
