-- Before the HSET of a long document, in the same MULTI, behind permit.lua.
--
-- The document is no argument of a script, because Lua copies it three times: 126 us of server time
-- for 100 kB instead of 12. A plain HSET writes it, and that cannot be made conditional; so a
-- refusal puts what stands in the field aside, and finish.lua puts it back. Nobody sees what is
-- between. Any error on the way to an answer (a key of another type, a command that an ACL forbids)
-- is a refusal too.
local fine, answer = pcall(permit)
if type(answer) == 'number' then return answer end
redis.call('DEL', aside)
local document = redis.call('HMGET', content, id)[1]
redis.call('HSET', aside, document and 'document' or 'absent', document or 1)
if fine or type(answer) == 'table' then return answer end
return redis.error_reply(answer)
