-- needs: conversation
-- Stands before the scripts that encrypt the checkpoints of a conversation for another one.

-- The fields of a hash with other values, as ARGV[first] on has them; see reseal_fields.lua. nil if one
-- was written since they were read.
local function hash_anew(key, first)
  local fields = {}
  if redis.call('HLEN', key) * 3 ~= #ARGV - first + 1 then return nil end
  for i = first, #ARGV, 3 do
    local stored = redis.call('HGET', key, ARGV[i])
    if ARGV[i + 1] ~= '' then
      if not stored or redis.sha1hex(stored) ~= ARGV[i + 1] then return nil end
      fields[#fields + 1], fields[#fields + 2] = ARGV[i], ARGV[i + 2]
    end
  end
  return fields
end

-- Give a hash the fields and values of a list, from number `first` on.
local function put_hash(key, fields, first)
  redis.call('UNLINK', key)
  for i = first, #fields, MANY do
    redis.call('HSET', key, unpack(fields, i, math.min(i + MANY - 1, #fields)))
  end
end
