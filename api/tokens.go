package api

import (
	"context"
	"net/http"
	"time"

	"sysotel/agent/auth"
)

// Token is an API token without its secret.
type Token struct {
	ID       string    `json:"id" doc:"Token ID."`
	Name     string    `json:"name" doc:"Purpose of the token."`
	Role     Role      `json:"role" enum:"viewer,admin" doc:"Role granted by the token."`
	Created  time.Time `json:"created" doc:"When the token was created."`
	Expires  time.Time `json:"expires,omitzero" doc:"When the token expires; absent if it does not."`
	LastUsed time.Time `json:"last_used,omitzero" doc:"When it was last used, to the hour; absent if never."`
}

// Tokens is the response of /tokens.
type Tokens struct {
	Tokens []Token `json:"tokens" nullable:"false" doc:"All API tokens, sorted by name."`
}

// NewToken is a new token with its secret.
type NewToken struct {
	Token  Token  `json:"token" doc:"The token."`
	Secret string `json:"secret" doc:"Secret to authenticate with. It is returned only once and stored only as a hash."`
}

// TokenRequest creates a token.
type TokenRequest struct {
	Name             string `json:"name" doc:"Purpose of the token: 1 to 64 letters, digits and . _ - @." example:"grafana"`
	Role             string `json:"role,omitempty" enum:"viewer,admin" default:"viewer" doc:"Role granted by the token." example:"viewer"`
	ExpiresInSeconds int64  `json:"expires_in_seconds,omitempty" minimum:"0" maximum:"3153600000" doc:"Lifetime in seconds; 0 or absent means until revoked." example:"2592000"`
}

type (
	tokensOutput   struct{ Body Tokens }
	newTokenOutput struct{ Body NewToken }
	tokenInput     struct{ Body TokenRequest }
	tokenIDInput   struct {
		ID string `path:"id" maxLength:"64" doc:"Token ID."`
	}
)

// Tokens registers the operations of this file.
func (operations) Tokens(s *Server) {
	// Creating tokens grants access.
	access := Access{Role: Admin, Cost: Query, Guarded: true}
	const path = "/api/v1/tokens"
	example := Token{ID: "01JM3ZC8V5T2", Name: "grafana", Role: Viewer, Created: exampleTime, Expires: exampleTime.Add(30 * 24 * time.Hour)}
	register(s, Operation{
		ID: "list-tokens", Method: http.MethodGet, Path: path, Table: "tokens",
		Summary: "List API tokens", Description: "Every token that programs use instead of logging in.",
		Access: access, Example: Tokens{[]Token{example}}, Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*tokensOutput, error) {
		accounts, err := s.accounts()
		if err != nil {
			return nil, err
		}
		out := &tokensOutput{Tokens{Tokens: []Token{}}}
		for _, t := range accounts.Tokens() {
			out.Body.Tokens = append(out.Body.Tokens, tokenResponse(t))
		}
		return out, nil
	})
	register(s, Operation{
		ID: "add-token", Method: http.MethodPost, Path: path,
		Summary: "Create an API token",
		Description: "This response is the only one that contains the secret. Programs send it as `Authorization: Bearer`, or as the password of HTTP basic authentication with any user name: " +
			"Prometheus and Grafana support both.",
		Access: access, Example: NewToken{example, "sysotel_…"}, Errors: []int{http.StatusConflict, http.StatusServiceUnavailable},
	}, s.addToken)
	register(s, Operation{
		ID: "revoke-token", Method: http.MethodDelete, Path: path + "/{id}",
		Summary: "Revoke an API token", Description: "The token stops working immediately.",
		Access: access, Example: Done{true}, Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.revokeToken)
}

func (s *Server) addToken(ctx context.Context, in *tokenInput) (*newTokenOutput, error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	role, err := auth.ParseRole(in.Body.Role)
	if err != nil {
		return nil, accountProblem(err)
	}
	secret, t, err := accounts.NewToken(in.Body.Name, role, time.Duration(in.Body.ExpiresInSeconds)*time.Second)
	if err != nil {
		return nil, accountProblem(err)
	}
	s.audit(callerOf(ctx).did("add token as "+role.String(), t.Name))
	return &newTokenOutput{NewToken{Token: tokenResponse(t), Secret: secret}}, nil
}

func (s *Server) revokeToken(ctx context.Context, in *tokenIDInput) (*doneOutput, error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	name := ""
	for _, t := range accounts.Tokens() {
		if t.ID == in.ID {
			name = t.Name
		}
	}
	if err := accounts.RevokeToken(in.ID); err != nil {
		return nil, accountProblem(err)
	}
	s.audit(callerOf(ctx).did("revoke token", name))
	return &doneOutput{Body: Done{true}}, nil
}

func tokenResponse(t auth.Token) Token {
	return Token{ID: t.ID, Name: t.Name, Role: t.Role, Created: t.Created.UTC(), Expires: inUTC(t.Expires), LastUsed: inUTC(t.LastUsed)}
}
