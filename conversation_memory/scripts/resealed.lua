-- needs: forgets
-- Stands before the scripts that encrypt anew what stands beside the content of a conversation: its
-- title, its open runs and its checkpoints. ARGV[first] to ARGV[last] have each text that the caller has
-- read, behind the name of its place, and what it becomes.
local function map_of(first, last)
  local map = {}
  for i = first, last, 2 do map[ARGV[i]] = ARGV[i + 1] end
  return map
end

-- Of two places, one may have a name that begins with that of the other.
local function in_place(place, text) return #place .. ':' .. place .. text end

-- The open runs by field, and the entries of their streams by key, with other texts; nil if one was
-- written since they were read.
local function replies_anew(map)
  local flat, fields, streams = redis.call('HGETALL', open_runs), {}, {}
  for i = 1, #flat, 2 do
    local field, text = flat[i], map[in_place(flat[i], flat[i + 1])]
    if not text then return nil end
    fields[#fields + 1], fields[#fields + 2] = field, text
    local reply = reply_of(id, field)
    if reply then
      local entries = redis.call('XRANGE', stream_of(reply), '-', '+')
      for _, entry in ipairs(entries) do
        local place = (entry[2][1] == 'k' and 'reason:' or 'chunk:') .. field:sub(7)
        for j = 1, #entry[2], 2 do
          if entry[2][j] == 't' then entry[2][j + 1] = map[in_place(place, entry[2][j + 1])] end
          if not entry[2][j + 1] then return nil end
        end
      end
      streams[stream_of(reply)] = entries
    end
  end
  return fields, streams
end

local function put_replies(fields, streams)
  if #fields > 0 then redis.call('HSET', open_runs, unpack(fields)) end
  for key, entries in pairs(streams) do
    local left = redis.call('PTTL', key)
    if #entries > 0 then redis.call('UNLINK', key) end
    for _, entry in ipairs(entries) do redis.call('XADD', key, entry[1], unpack(entry[2])) end
    if left > 0 then redis.call('PEXPIRE', key, left) end
  end
end
