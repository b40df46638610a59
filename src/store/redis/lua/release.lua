-- Gives up the place held for a uid. room, uid, room_expiry
return told(release(ARGV[6], ARGV[7], tonumber(ARGV[8])))
