-- Write a short document, behind permit.lua: one script is less work than a MULTI around an HSET.
--
-- ARGV  ... , document, last
local answer = permit()
if type(answer) == 'table' then return answer end
redis.call('HSET', content, id, ARGV[#ARGV])
local deadline = redis.call('HGET', record, 'expires')
if deadline and deadline ~= '' then
  redis.pcall('HPEXPIREAT', content, deadline, 'FIELDS', 1, id)
end
return answer
