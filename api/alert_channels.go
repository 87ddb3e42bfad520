package api

import (
	"context"
	"errors"
	"net/http"
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
}

// Channels is the response of /alerts/channels.
type Channels struct {
	Channels []notify.Channel `json:"channels" nullable:"false" doc:"Channels in the order of the configuration."`
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
		Summary: "List notification channels", Description: "Configured notification channels with their status, without addresses and secrets.",
		Access: Access{Role: Viewer, Cost: Cheap}, Example: Channels{[]notify.Channel{{Name: "mail", Type: "email", LastSuccess: exampleTime}}}, Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*channelsOutput, error) {
		notifier, err := s.notifier()
		if err != nil {
			return nil, err
		}
		return &channelsOutput{Channels{append([]notify.Channel{}, notifier.Channels()...)}}, nil
	})
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
