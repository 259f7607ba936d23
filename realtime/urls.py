"""Pages of talk and its API paths."""

from django.urls import path

from realtime import api as doors
from realtime import views

urlpatterns = [
    path("chat/", views.chat_page, name="chat"),
    path("chat/shown/", views.shown, name="chat_shown"),
    path("chat/<id:pk>/", views.room_page, name="room"),
    path("chat/<id:pk>/<int:seq>/hide/", views.message_hide, name="message_hide"),
]

api = [
    path("rooms/", doors.RoomList.as_view(), name="api_rooms"),
    path("rooms/<id:pk>/", doors.RoomDetail.as_view(), name="api_room"),
    path("rooms/<id:pk>/participants/", doors.ParticipantList.as_view(), name="api_participants"),
    path("rooms/<id:pk>/entries/", doors.Entries.as_view(), name="api_entries"),
    path("rooms/<id:pk>/history/", doors.History.as_view(), name="api_history"),
]
