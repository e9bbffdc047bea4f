-- Delete a conversation: its document and everything that goes with it.
--
-- ARGV  id, owner
-- Returns 1 if there was one, 0 if not, or a refusal (prelude.lua).
local stored = open()
local refused = refusal(stored)
if refused then return refused end
redis.call('HDEL', content, id)
forget()
return stored.exists and 1 or 0
