-- Whether the conversation is another than the caller has read.
--
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent), its SHA-1 ('' any)
local function has_changed(stored)
  local version, length, digest = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
  if version and stored.version ~= version or length and stored.size ~= length then return true end
  return digest ~= '' and redis.sha1hex(redis.call('HGET', content, id)) ~= digest
end
