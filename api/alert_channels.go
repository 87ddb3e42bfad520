package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"sysotel/agent/notify"
	"sysotel/instruments/sanitize"
)

// Notifier has the notification channels.
type Notifier interface {
	Channels() []notify.Channel
	// Test sends a test message and returns the outcome; notify.ErrUnknownChannel if
	// there is no such channel.
	Test(ctx context.Context, name string) error
	// AddChannel, ChangeChannel and RemoveChannel are about channels of the API. Their
	// errors are notify.Invalid, notify.ErrExists, notify.ErrFixed, notify.ErrUnknownChannel
	// and *ChannelInUse.
	AddChannel(ctx context.Context, name, options string) error
	ChangeChannel(ctx context.Context, name, options string) error
	RemoveChannel(ctx context.Context, name string) error
	// ChannelOptions returns the options of such a channel without its secrets.
	ChannelOptions(name string) (map[string]any, error)
}

// ChannelInUse is the error of a channel that rules name.
type ChannelInUse struct{ Rules []string }

// Error implements error.
func (e *ChannelInUse) Error() string {
	return "rules name the channel: " + strings.Join(e.Rules, ", ")
}

// ChannelRequest adds a channel.
type ChannelRequest struct {
	Name    string `json:"name" maxLength:"64" doc:"Name of the channel: 1 to 64 letters, digits, -, _ and ." example:"ops"`
	Options string `json:"options" maxLength:"32768" doc:"Options of the channel in YAML, or JSON, as under alerting.channels in the configuration, without its name: one of email, slack, webhook, log and receiver. References to files and variables are refused." example:"slack: {url: 'https://hooks.slack.com/services/…'}"`
}

// ChannelChange changes a channel.
type ChannelChange struct {
	Options string `json:"options" maxLength:"32768" doc:"New options of the channel, in the format of its addition. A secret that is <secret> is kept."`
}

// ChannelOptions are the options of a channel.
type ChannelOptions struct {
	Name    string         `json:"name" doc:"Name of the channel."`
	Options map[string]any `json:"options" nullable:"false" doc:"Its options as under alerting.channels, with <secret> in place of secrets, which are never returned."`
}

// Channels is the response of /alerts/channels.
type Channels struct {
	Channels []notify.Channel `json:"channels" nullable:"false" doc:"Channels in the order of the configuration, then those of this API."`
}

// ChannelTest is the outcome of a test message.
type ChannelTest struct {
	Sent  bool   `json:"sent" doc:"Whether the receiver accepted the message."`
	Error string `json:"error,omitempty" doc:"Why it was not sent."`
}

type (
	channelsOutput    struct{ Body Channels }
	channelTestOutput struct{ Body ChannelTest }
	channelNameInput  struct {
		Name string `path:"name" maxLength:"128" doc:"Name of the channel."`
	}
	channelInput       struct{ Body ChannelRequest }
	channelChangeInput struct {
		Name string `path:"name" maxLength:"128" doc:"Name of the channel."`
		Body ChannelChange
	}
	channelOptionsOutput struct{ Body ChannelOptions }
)

// notifier returns the Notifier, or the problem that there is none.
func (s *Server) notifier() (Notifier, error) {
	if s.options.Notifier == nil {
		return nil, notKept("alerts", "keeps no history")
	}
	return s.options.Notifier, nil
}

// AlertChannels registers the operations of this file.
func (operations) AlertChannels(s *Server) {
	const path = alertPath + "/channels"
	register(s, Operation{
		ID: "list-channels", Method: http.MethodGet, Path: path, Table: "channels",
		Summary: "List notification channels", Description: "Notification channels of the configuration and of this API with their status, without addresses and secrets.",
		Access: Access{Role: Viewer, Cost: Cheap}, Example: Channels{[]notify.Channel{{Name: "mail", Type: "email", Source: notify.FromConfig, LastSuccess: exampleTime}}}, Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*channelsOutput, error) {
		notifier, err := s.notifier()
		if err != nil {
			return nil, err
		}
		return &channelsOutput{Channels{append([]notify.Channel{}, notifier.Channels()...)}}, nil
	})
	s.addChannelChanges(path)
	register(s, Operation{
		ID: "test-channel", Method: http.MethodPost, Path: path + "/{name}/test",
		Summary: "Test a channel", Description: "Sends a test message now, once, and returns whether the receiver accepted it.",
		Access: Access{Role: Admin, Cost: Query}, Example: ChannelTest{Sent: true}, Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *channelNameInput) (*channelTestOutput, error) {
		notifier, err := s.notifier()
		if err != nil {
			return nil, err
		}
		// The response must be sent before its own deadline.
		ctx, cancel := context.WithTimeout(ctx, responseTime-5*time.Second)
		defer cancel()
		err = notifier.Test(ctx, in.Name)
		if errors.Is(err, notify.ErrUnknownChannel) {
			return nil, problem(http.StatusNotFound, "There is no channel of that name.")
		}
		s.audit(callerOf(ctx).did("test channel", in.Name))
		if err != nil {
			return &channelTestOutput{ChannelTest{Error: sanitize.ValidUTF8(err.Error())}}, nil
		}
		return &channelTestOutput{ChannelTest{Sent: true}}, nil
	})
}

// addChannelChanges registers what changes channels.
func (s *Server) addChannelChanges(path string) {
	access := Access{Role: Admin, Cost: Query}
	refusals := []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable}
	example := ChannelOptions{Name: "ops", Options: map[string]any{"slack": map[string]any{"url": "<secret>", "channel": "#ops"}}}
	register(s, Operation{
		ID: "add-channel", Method: http.MethodPost, Path: path,
		Summary: "Add a channel",
		Description: "Adds a notification channel, which is used immediately and survives restarts. " +
			"If the configuration gets a channel of the same name, that one is used, and health says so.",
		Access: access, Example: example, Errors: refusals,
	}, func(ctx context.Context, in *channelInput) (*channelOptionsOutput, error) {
		return s.changeChannel(ctx, "add channel", in.Body.Name, func(n Notifier) error { return n.AddChannel(ctx, in.Body.Name, in.Body.Options) })
	})
	register(s, Operation{
		ID: "get-channel", Method: http.MethodGet, Path: path + "/{name}",
		Summary: "Get the options of a channel", Description: "The options of a channel that was added through the API. Secrets are never returned.",
		Access: access, Example: example, Errors: refusals,
	}, func(_ context.Context, in *channelNameInput) (*channelOptionsOutput, error) {
		notifier, err := s.notifier()
		if err != nil {
			return nil, err
		}
		return channelOptions(notifier, in.Name)
	})
	register(s, Operation{
		ID: "change-channel", Method: http.MethodPut, Path: path + "/{name}",
		Summary: "Change a channel", Description: "Replaces the options of a channel that was added through the API. What waits is sent through the new ones.",
		Access: access, Example: example, Errors: refusals,
	}, func(ctx context.Context, in *channelChangeInput) (*channelOptionsOutput, error) {
		return s.changeChannel(ctx, "change channel", in.Name, func(n Notifier) error { return n.ChangeChannel(ctx, in.Name, in.Body.Options) })
	})
	register(s, Operation{
		ID: "delete-channel", Method: http.MethodDelete, Path: path + "/{name}",
		Summary: "Delete a channel", Description: "Deletes a channel that was added through the API, with what waits for it. One that rules name cannot be deleted.",
		Access: access, Example: Done{true}, Errors: refusals,
	}, func(ctx context.Context, in *channelNameInput) (*doneOutput, error) {
		notifier, err := s.notifier()
		if err != nil {
			return nil, err
		}
		if err := notifier.RemoveChannel(ctx, in.Name); err != nil {
			return nil, channelProblem(err)
		}
		s.audit(callerOf(ctx).did("delete channel", in.Name))
		return &doneOutput{Body: Done{true}}, nil
	})
}

// changeChannel makes a change and writes an audit entry.
func (s *Server) changeChannel(ctx context.Context, action, name string, do func(Notifier) error) (*channelOptionsOutput, error) {
	notifier, err := s.notifier()
	if err != nil {
		return nil, err
	}
	if err := do(notifier); err != nil {
		return nil, channelProblem(err)
	}
	s.audit(callerOf(ctx).did(action, name))
	return channelOptions(notifier, name)
}

func channelOptions(notifier Notifier, name string) (*channelOptionsOutput, error) {
	options, err := notifier.ChannelOptions(name)
	if err != nil {
		return nil, channelProblem(err)
	}
	return &channelOptionsOutput{ChannelOptions{name, options}}, nil
}

// channelProblem converts an error about channels to a problem.
func channelProblem(err error) error {
	if invalid, ok := errors.AsType[notify.Invalid](err); ok {
		var details []error
		for _, one := range invalid {
			at := "body.options"
			if one.Path == "name" {
				at = "body.name"
			} else if one.Path != "" && one.Path != "options" {
				at += "." + one.Path
			}
			details = append(details, invalidValue(sanitize.ValidUTF8(at), "", sanitize.ValidUTF8(one.Rule)))
		}
		return problem(http.StatusUnprocessableEntity, invalidBody+" Nothing was changed.", details...)
	}
	if used, ok := errors.AsType[*ChannelInUse](err); ok {
		return problem(http.StatusConflict, "These rules name the channel: "+sanitize.ValidUTF8(strings.Join(used.Rules, ", "))+". Change them first.")
	}
	switch {
	case errors.Is(err, notify.ErrUnknownChannel):
		return problem(http.StatusNotFound, "There is no channel of that name.")
	case errors.Is(err, notify.ErrExists):
		return problem(http.StatusConflict, "Another channel has that name. Nothing was changed.")
	case errors.Is(err, notify.ErrFixed):
		return problem(http.StatusConflict, "The channel is in the configuration, alerting.channels: change it there.")
	}
	return err
}
