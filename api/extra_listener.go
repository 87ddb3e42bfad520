package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// extraListener is a server on its own address, separate from the API.
type extraListener struct {
	// name is what is served there, option the option with its address.
	name, option, address string
	http                  *http.Server
	listener              net.Listener
	// serve serves the listener until the server is closed.
	serve func(net.Listener) error
}

// Listen opens the address. Call Run or Close afterwards.
func (l *extraListener) Listen() error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", l.address)
	if err != nil {
		return listenError(l.option, l.address, err)
	}
	l.listener = listener
	return nil
}

// Addr is the listen address, nil before Listen.
func (l *extraListener) Addr() net.Addr {
	if l.listener == nil {
		return nil
	}
	return l.listener.Addr()
}

// Run serves requests until the context ends.
func (l *extraListener) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- l.serve(l.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", l.name, err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := l.http.Shutdown(ctx)
	if err != nil {
		err = l.http.Close()
	}
	return errors.Join(unlessClosed(err), unlessClosed(<-served))
}

// Close releases the address if Run was never called.
func (l *extraListener) Close() error {
	err := l.http.Close()
	if l.listener != nil {
		err = errors.Join(err, l.listener.Close())
	}
	return unlessClosed(err)
}
