-- needs: conversation
--
-- Erase a conversation of an owner, expired or not; or only count it.
--
-- ARGV  id, owner, whether to erase
-- Returns {conversations, runs, bytes}, all 0 if there is nothing of that owner.
local before = redis.call('GET', call)
if before then
  local conversations, runs_of_it, bytes = before:match('^(%d+) (%d+) (%d+)$')
  return {tonumber(conversations), tonumber(runs_of_it), tonumber(bytes)}
end

local fields = redis.call('HMGET', record, 'owner', 'version', 'runs', 'bytes')
local size, length = redis.call('HSTRLEN', content, id), redis.call('LLEN', runs)
local exists = fields[2] or length > 0 or redis.call('HEXISTS', content, id) == 1
-- If the record is lost, only the recency index of the owner tells whose it is.
local theirs = fields[1] == owner or not (fields[1] or fields[2])
if ARGV[3] == '1' then
  check_orders()
  if theirs then
    redis.call('HDEL', content, id)
    forget()
  else
    disown()
  end
end
local erased = {0, 0, 0}
if theirs and exists and length > 0 then
  erased = {1, length, size + (number(fields[4] or nil) or 0)}
elseif theirs and exists then
  erased = {1, size > 0 and number(fields[3] or nil) or 0, size}
end
if ARGV[3] == '1' then answer(table.concat(erased, ' ')) end
return erased
