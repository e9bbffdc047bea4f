-- Refuse a user who may not run all of some commands, before the first of several steps.
--
-- KEYS  content, record
-- ARGV  the commands
for _, command in ipairs(redis.acl_check_cmd and ARGV or {}) do
  for _, key in ipairs(KEYS) do
    if not redis.acl_check_cmd(command, key, key, key) then
      return redis.error_reply("NOPERM this user may not run '" .. command .. "'")
    end
  end
end
return 1
