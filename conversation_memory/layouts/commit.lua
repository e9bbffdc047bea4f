-- After the HSET of a document, in the same MULTI: write what goes with it, or take it back.
--
-- ARGV  id, owner, number of runs, seal, lifetime, default lifetime, length of the document
-- Returns the new version, or false after a refusal of guard.lua.
if redis.call('EXISTS', aside) == 1 then
  local document = redis.call('HGET', aside, 'document')
  redis.call('DEL', aside)
  if document then
    redis.call('HSET', content, id, document)
    local deadline = redis.pcall('HGET', record, 'expires')
    if type(deadline) == 'string' then
      redis.pcall('HPEXPIREAT', content, deadline, 'FIELDS', 1, id)
    end
  else
    redis.pcall('HDEL', content, id)
  end
  return false
end
redis.call('DEL', runs)  -- of the layout `list`, if it was one
redis.call('HSET', record, 'bytes', ARGV[7])
redis.call('HDEL', record, 'ids')
return touch(ARGV[3], ARGV[4], ARGV[5], ARGV[6])
