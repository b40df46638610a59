-- How many users have a session, and how many rooms that clients can name have anybody in them: those of other spaces begin with the byte 1.
return { call('HLEN', P .. 'ao:sessions'), call('ZLEXCOUNT', occupied_rooms(), '(\31', '+') }
