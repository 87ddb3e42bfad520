package api

import "github.com/danielgtaylor/huma/v2"

// Names of the authentication schemes in the OpenAPI document.
const (
	bearerScheme  = "bearer"
	basicScheme   = "basic"
	sessionScheme = "cookie" // Not session: a schema has that name, and ogen makes one type of both.
)

// securitySchemes are the authentication schemes of the document.
func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		bearerScheme:  {Type: "http", Scheme: "bearer", Description: "The access token of a login, or an API token."},
		basicScheme:   {Type: "http", Scheme: "basic", Description: "An API token as the password, under any user name."},
		sessionScheme: {Type: "apiKey", In: "cookie", Name: accessName, Description: "Session cookie of a browser, for the pages of this server; below the path of http.external_url its name is __Secure-sysotel, and over plain HTTP on loopback sysotel. The port follows unless it is the standard one: sysotel-8080."},
	}
}

// security lists the accepted authentication schemes of an operation; the empty
// entry is anonymous access.
func security(a Access) []map[string][]string {
	if a.Role == Public {
		return []map[string][]string{{}}
	}
	return []map[string][]string{{bearerScheme: {}}, {basicScheme: {}}, {sessionScheme: {}}}
}
