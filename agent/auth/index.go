package auth

// index is the accounts with lookup maps. It is never changed.
type index struct {
	*accounts
	users, names map[string]*userRow // by id, and by folded name
	sessions     map[string]*sessionRow
	families     map[digest]*sessionRow
	secrets      map[digest]*tokenRow
}

func newIndex(c *accounts) *index {
	x := &index{
		accounts: c, users: make(map[string]*userRow, len(c.Users)), names: make(map[string]*userRow, len(c.Users)),
		sessions: make(map[string]*sessionRow, len(c.Sessions)), families: make(map[digest]*sessionRow, len(c.Sessions)),
		secrets: make(map[digest]*tokenRow, len(c.Tokens)),
	}
	for i := range c.Users {
		x.users[c.Users[i].ID], x.names[fold(c.Users[i].Name)] = &c.Users[i], &c.Users[i]
	}
	for i := range c.Sessions {
		x.sessions[c.Sessions[i].ID], x.families[c.Sessions[i].Family] = &c.Sessions[i], &c.Sessions[i]
	}
	for i := range c.Tokens {
		x.secrets[c.Tokens[i].Secret] = &c.Tokens[i]
	}
	return x
}
