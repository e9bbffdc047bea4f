-- Before restore.lua, in the same MULTI: clear the place of a conversation that is still as the
-- caller has read it, or is past its deadline.
--
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent), its SHA-1 ('' any)
-- Returns 1, a refusal (prelude.lua) or {'changed'}.
local stored = open()
local refused = refusal(stored)
if refused then return refused end
if not stored.past and has_changed(stored) then return {'changed'} end
need('hdel', 'del', 'zrem')
redis.call('HDEL', content, id)
forget()
return 1
