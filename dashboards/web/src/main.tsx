import { render } from 'preact'
import { loadMe } from './account/me'
import { App } from './app'
import { watchEvents } from './events'
import { connect } from './stream'
import './style.css'
import { keepWatch } from './watch'

connect()
watchEvents()
keepWatch()
void loadMe()
render(<App />, document.getElementById('app')!)
