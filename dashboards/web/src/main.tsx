import { render } from 'preact'
import { App } from './app'
import { watchEvents } from './events'
import { connect } from './stream'
import './style.css'
import { keepWatch } from './watch'

connect()
watchEvents()
keepWatch()
render(<App />, document.getElementById('app')!)
