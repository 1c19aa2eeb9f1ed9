update wallets set paused = $2 where address = $1
