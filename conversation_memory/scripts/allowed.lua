-- Refuse a user who may not run all of some commands. redis_io/scripts.py puts this in front of each
-- script that writes, with the commands of that in place of ARGV.
--
-- KEYS  content, record
-- ARGV  the commands
for _, command in ipairs(redis.acl_check_cmd and ARGV or {}) do
  local key = (command == 'HSET' or command == 'HDEL') and KEYS[1] or KEYS[2] or KEYS[1]
  if not redis.acl_check_cmd(command, key, key, key) then
    return redis.error_reply("NOPERM this user may not run '" .. command .. "'")
  end
end
