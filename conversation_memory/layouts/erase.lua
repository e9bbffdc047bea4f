-- Erase a conversation of an owner, past its deadline or not; or only say what that would be.
--
-- ARGV  id, owner, whether to erase
-- Returns {conversations, runs, bytes}, all 0 if there is nothing of that owner.
local fields = redis.call('HMGET', record, 'owner', 'version', 'runs', 'bytes')
local size, length = redis.call('HSTRLEN', content, id), redis.call('LLEN', runs)
local exists = fields[2] or length > 0 or redis.call('HEXISTS', content, id) == 1
-- Where the record was lost, the place in the order of the owner is all that tells whose it is.
local theirs = fields[1] == owner or not (fields[1] or fields[2])
if ARGV[3] == '1' then
  need('hdel', 'del', 'zrem')
  if theirs then
    redis.call('HDEL', content, id)
    forget()
  else
    disown()
  end
end
if not (theirs and exists) then return {0, 0, 0} end
if length > 0 then return {1, length, size + (number(fields[4] or nil) or 0)} end
return {1, size > 0 and number(fields[3] or nil) or 0, size}
