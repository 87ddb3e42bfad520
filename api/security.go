package api

import "github.com/danielgtaylor/huma/v2"

// The ways to show who one is, as the OpenAPI document names them.
const (
	bearerScheme  = "bearer"
	basicScheme   = "basic"
	sessionScheme = "session"
)

// securitySchemes explains them in the document.
func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		bearerScheme:  {Type: "http", Scheme: "bearer", Description: "The access token of a login, or an API token."},
		basicScheme:   {Type: "http", Scheme: "basic", Description: "An API token as the password, under any user name."},
		sessionScheme: {Type: "apiKey", In: "cookie", Name: accessName, Description: "Session cookie of a browser, for the pages of this server; over plain HTTP on loopback its name is sysotel."},
	}
}

// security is what the document asks of a caller, from the same Access as the
// check. Each entry is a way in; the empty one needs nothing.
func security(a Access) []map[string][]string {
	if a.Role == Public {
		return []map[string][]string{{}}
	}
	return []map[string][]string{{bearerScheme: {}}, {basicScheme: {}}, {sessionScheme: {}}}
}
