-- Whether the conversation is another than the caller has read.
--
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent), its SHA-1 ('' any)

-- {'changed'} if it is; {'digest'} if nothing but a digest of the long document can tell; or nil.
local function difference(stored)
  local version, length, digest = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
  if version and stored.version ~= version or length and stored.size ~= length then
    return {'changed'}
  end
  if digest ~= '' then
    local same = redis.sha1hex(redis.call('HGET', content, id)) == digest
    return not same and {'changed'} or nil
  end
  if length and length > LONG and not is_untouched() then return {'digest'} end
end
